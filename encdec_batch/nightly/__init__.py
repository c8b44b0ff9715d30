"""Retraining every night: from labelled scenes to a model in production, or to a page that says why not.

In: a nightly spec and a date. Out: a decision, its page, at most one move of an alias, and an archive run again.
Composes train, models and job; none of them knows of it.

    night.py        which night it is
    find.py         labelled scenes, each with the etags of its files
    split.py        who is learned from, judged on, audited: by a hash, fixed for ever
    watermark.py    the labelled scenes that are no news
    production.py   what is in production
    records.py      what a night writes down, and where
    plan.py         what this night learns from; fixed when it begins
    tune.py         the training, and its package in the registry
    scores.py, bootstrap.py   figures of resampled scenes, and how sure a difference is
    judge.py        candidate and production on the same scenes
    decide.py       what follows from it
    pictures.py, page.py      what a person reads in the morning
    retention.py    what is deleted
    archive.py      what is computed again
    flow.py         a candidate's way: find, train, judge, promote
    run.py          all of it in order
"""
