"""Verification: damage is found, removed and measured again."""

from infodiscard.api.run import Run, open_run
from infodiscard.results.places import as_place, read_whole, write_whole
from infodiscard.results.verify import verify_run
from synthetic import RESNET, fill, make_images, make_plan, same

SMALL = {"layers": RESNET[:3], "samples": 10, "size": 4, "block": 4}


def test_damage_is_found_and_repaired_anywhere(place, quick):
    plan = make_plan(**SMALL)
    images, masks = make_images(plan)
    with Run.create(plan, place, images, masks) as run:
        fill(run)
    assert not verify_run(place).damaged
    chunk = as_place(place) / "run.zarr" / "sid_map" / "c" / "0" / "1" / "2" / "0" / "0"
    content = bytearray(read_whole(chunk))
    content[-1] ^= 1
    write_whole(chunk, bytes(content))
    picture = as_place(place) / "run.zarr" / "image" / "c" / "0" / "0" / "0" / "0"
    write_whole(picture, read_whole(picture)[:-3])
    unit, pictures = verify_run(place).damaged
    assert (unit.layer, unit.start, unit.variables) == (RESNET[1], 8, ("sid_map",))
    assert (pictures.start, pictures.stop, pictures.variables) == (0, 10, ("image",))
    with Run.resume_or_create(plan, place, images, masks) as run:
        assert [(u.layer, u.start) for u in run.pending()] == [(RESNET[1], 8)]
        fill(run)
    whole = Run.create(plan, None, images, masks)
    fill(whole)
    assert same(open_run(place), whole)
