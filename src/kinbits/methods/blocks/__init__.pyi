from .asymmetric import Asymmetric
from .binary import quantization_error, signs, straight_through
from .classifier import label_cross_entropy, start_from_log_odds
from .clusters import cluster_rows
from .discrete import CodeSums, balanced_minimum, flipped_minimum, similarity_ratio, sum_over_similar, sweep_bits
from .distances import FeatureDistances, SplitNormal
from .distilling import DistilledLabels, certain_labels, noisy_sample
from .ema import ema_copy, frozen_copy, update_ema
from .graphs import (
    GraphLimits,
    add_similar_pairs,
    default_neighbours,
    nearest_points,
    nearest_rows,
    neighbour_pairs,
    pair_signs,
    symmetric_pairs,
)
from .groups import LabelLists, Pool, draw_pairs, given_negatives, mined_negatives, triplets
from .labels import has_text, labelled, shared_labels, similar
from .latent import LatentClassifier, imbalance, saturation
from .merging import (
    bit_correlation,
    code_lengths,
    constant_bits_first,
    greedy_matching,
    importance,
    merge_matrix,
    redundancy_scores,
)
from .modes import evaluating
from .pairwise import (
    LabelledPairs,
    balanced_weights,
    cosine_misfit,
    draw_partners,
    pair_nll,
    pairs_between,
    pairs_within,
)
from .projection import Projection, principal_axes, random_rotation
from .ranking import listwise_loss, neighbours_within, pairwise_hinge
from .semantic import label_distances, semantic_centres
from .targets import binary_targets, hash_centres, min_and_mean_distance
from .views import Projector, TwoViews, contrast

__all__ = [
    "Asymmetric",
    "CodeSums",
    "DistilledLabels",
    "FeatureDistances",
    "GraphLimits",
    "LabelLists",
    "LabelledPairs",
    "LatentClassifier",
    "Pool",
    "Projection",
    "Projector",
    "SplitNormal",
    "TwoViews",
    "add_similar_pairs",
    "balanced_minimum",
    "balanced_weights",
    "binary_targets",
    "bit_correlation",
    "certain_labels",
    "cluster_rows",
    "code_lengths",
    "constant_bits_first",
    "contrast",
    "cosine_misfit",
    "default_neighbours",
    "draw_pairs",
    "draw_partners",
    "ema_copy",
    "evaluating",
    "flipped_minimum",
    "frozen_copy",
    "given_negatives",
    "greedy_matching",
    "has_text",
    "hash_centres",
    "imbalance",
    "importance",
    "label_cross_entropy",
    "label_distances",
    "labelled",
    "listwise_loss",
    "merge_matrix",
    "min_and_mean_distance",
    "mined_negatives",
    "nearest_points",
    "nearest_rows",
    "neighbour_pairs",
    "neighbours_within",
    "noisy_sample",
    "pair_nll",
    "pair_signs",
    "pairs_between",
    "pairs_within",
    "pairwise_hinge",
    "principal_axes",
    "quantization_error",
    "random_rotation",
    "redundancy_scores",
    "saturation",
    "semantic_centres",
    "shared_labels",
    "signs",
    "similar",
    "similarity_ratio",
    "start_from_log_odds",
    "straight_through",
    "sum_over_similar",
    "sweep_bits",
    "symmetric_pairs",
    "triplets",
    "update_ema",
]
