from .applied import AppliedDecisions, DoneFile, RefusedFile, UndoneDecisions
from .apply import apply_decisions
from .calibrate import Calibrated, calibrate_radius
from .calibration_result import Calibration
from .decisions import DecisionGroup, Decisions, FileDecision
from .find import find_duplicates
from .groups import KINDS, DuplicateGroup, DuplicateItem, Kind
from .near import NearPairs
from .page import KIND_TEXTS, PAGE_FOLDER, write_review
from .report import DedupeReport, KnownMatch
from .review import Review
from .reviewed import ChangedDecisionError, NothingLeftError, ReviewedFile, ReviewedGroup, ReviewedReport, ReviewTotals
from .seen import decide
from .settings import COPY_MODEL, DedupeSettings
from .stars import star_groups
from .undo import undo_decisions

__all__ = [
    "COPY_MODEL",
    "KINDS",
    "KIND_TEXTS",
    "PAGE_FOLDER",
    "AppliedDecisions",
    "Calibrated",
    "Calibration",
    "ChangedDecisionError",
    "DecisionGroup",
    "Decisions",
    "DedupeReport",
    "DedupeSettings",
    "DoneFile",
    "DuplicateGroup",
    "DuplicateItem",
    "FileDecision",
    "Kind",
    "KnownMatch",
    "NearPairs",
    "NothingLeftError",
    "RefusedFile",
    "Review",
    "ReviewTotals",
    "ReviewedFile",
    "ReviewedGroup",
    "ReviewedReport",
    "UndoneDecisions",
    "apply_decisions",
    "calibrate_radius",
    "decide",
    "find_duplicates",
    "star_groups",
    "undo_decisions",
    "write_review",
]
