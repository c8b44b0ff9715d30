"""Objects by name behind one Protocol, whatever holds them.

In: a URI and options. Out: bytes, `ObjectInfo`, or one of the errors under `StoreError`.
It must not know what the bytes mean, nor which names the other stages give to them.

Reading order: object.py, store.py (the contract), open.py, then local.py, s3.py, generic.py.
"""
