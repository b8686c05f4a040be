"""The paper's studies: each trains or loads what it needs, measures it, and says which claims held.

infodiscard reproduce flaws --profile cpu --data-dir DIR
"""

from .reproduce import STUDIES, collect, reproduce, reproduce_given

__all__ = ["STUDIES", "collect", "reproduce", "reproduce_given"]
