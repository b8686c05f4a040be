"""Reports on runs, as one page that can be passed on: it opens offline in any browser and needs no other file."""

from .files import write_page, write_pictures, write_report, write_texts

__all__ = ["write_page", "write_pictures", "write_report", "write_texts"]
