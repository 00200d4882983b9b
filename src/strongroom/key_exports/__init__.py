"""The metadata of KMS keys, taken out of a service that speaks AWS's API: the document, and how it is read.

Key material is never in it: no API gives it out.
"""
