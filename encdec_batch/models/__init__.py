"""Model packages: card, weights and golden sample in one folder, named by digest; and what is measured of networks.

In: the URI of a package, or a trained network. Out: verified bytes, a network in eval mode, its geometry.
Knows nothing of scenes and jobs. `card`, `package` and `architectures` work without torch.
"""
