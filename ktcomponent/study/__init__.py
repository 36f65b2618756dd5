"""The durable, shared search: an append-only log of commits on object storage.

Why it is built like this: `docs/design/001-study-log.md`.
"""

from ktcomponent.study.ledger import StudyLedger
from ktcomponent.study.state import StudyState
from ktcomponent.study.study import Draft, Study, Writer

__all__ = ["Draft", "Study", "StudyLedger", "StudyState", "Writer"]
