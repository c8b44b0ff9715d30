"""Retraining every night: from labelled scenes to a model in production, or to a page that says why not.

In: a nightly spec and a date. Out: a decision, its page, at most one move of an alias, and an archive run again.
Composes train, models and job; none of them knows of it.

    check.py        what is wrong with the spec, before a store is asked
    night.py        which night it is
    find.py         labelled scenes, each with the etags of its files
    split.py        who is learned from, judged on, audited: by a hash, fixed for ever
    private.py      a spec as it is shown where names are private
    watermark.py    the labelled scenes that are no news
    production.py   what is in production
    records.py      what a night writes down, and where
    plan.py         what this night learns from; fixed when it begins
    bands.py        a look at a few files where there are not labels enough
    tune.py         the training, and its package in the registry
    evaluate.py     a package on some scenes, by the workers of the training
    scores.py, bootstrap.py   figures of resampled scenes, and how sure a difference is
    judge.py        candidate and production on the same scenes
    decide.py       what follows from the figures
    promote.py      the move of the alias, over what was judged against
    flow.py         all of this for one candidate, to its decision
    pictures.py, page.py      what a person reads in the morning
    retention.py    what is deleted
    differing.py    where an archive would come out otherwise
    archive.py      what is computed again
    run.py          all of it in order
"""
