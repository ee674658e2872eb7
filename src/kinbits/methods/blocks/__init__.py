"""Parts that several methods share, and that serve a method of your own.

========================  ==============================================================================================
file                      contents
========================  ==============================================================================================
`asymmetric`              base class: a network for a sample of queries, free codes for the training set
`binary`                  binary codes in the forward pass, with a straight-through gradient
`classifier`              cross-entropy of a linear classifier, and its start for sets of labels
`clusters`                k-means and spectral clusters of all training rows
`discrete`                codes as free variables: sums by label, sweeps over bits, binary quadratic problems
`distances`               cosine distances of features, and how sure they are about similarity
`distilling`              pair labels that are certain although their source is noisy
`ema`                     copies of networks as exponential moving averages
`graphs`                  nearest neighbours, and sparse sets of similar pairs
`groups`                  rows that stay together in a batch: triplets, pairs with negatives, lists
`labels`                  which rows have a label or a text, which pairs share a label
`latent`                  base class: bits as latent attributes of a linear classifier
`merging`                 redundant bits, and matrices that merge them
`modes`                   networks in evaluation mode for a while
`pairwise`                losses over the pairs of a batch
`projection`              base class: a computed linear projection
`ranking`                 losses over rankings in a batch
`semantic`                semantic distances of classes, and hash centres that follow them
`targets`                 binary target codes of classes
`views`                   base class: two random views of each image
========================  ==============================================================================================
"""

from kinbits._util import open_door

__getattr__, __dir__ = open_door(__name__, __file__)
