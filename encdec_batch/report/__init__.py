"""What a run did, for people: takes finished figures and small arrays, gives one HTML page.

Knows neither Ray nor torch, reads no store and writes no file: the caller brings the numbers and puts the page away.
"""
