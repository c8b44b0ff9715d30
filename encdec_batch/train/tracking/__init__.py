"""What is told of a training while it goes on: points of its curve, pictures, how far it is.

In: what each step came to, scores, pictures. Out: objects on the store, TensorBoard's event files, an MLflow server.
Must not change anything: a training without it is the same.
"""
