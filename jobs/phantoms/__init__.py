"""Slices of invented bodies, and what a CT scanner of low dose would make of them: jobs/packages/ct-denoiser
learned from them.

body.py     a slice in Hounsfield units: fat, muscle, organs, bones, gas
scanner.py  its projections, the photons that are counted, and the slice that filtered back-projection makes of them
__main__    the files: `python -m jobs.phantoms`

No patient is in them, and no licence of anybody. The shapes are plain; what a denoiser has to learn of them is how the
noise of a reconstruction lies in the plane, and that the edges of tissues stay where they are.
"""
