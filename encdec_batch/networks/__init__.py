"""Networks: one a file, plain `torch.nn.Module`s from (batch, bands, height, width) to (batch, channels, ...).

They know nothing of scenes, tiles, packages or files.
"""
