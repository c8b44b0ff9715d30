"""Damaged files against the readers, in processes of their own: `make fuzz`.

corpus.py has whole files, fields.py knows where their numbers lie, mutate.py damages them, child.py reads what comes
out, pair.py watches two children, campaign.py counts and keeps what went wrong.
"""
