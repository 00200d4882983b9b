"""``strongroom doctor``: checks a deployment, whether it is served, stopped or damaged, and changes nothing.

``table`` lists the checks, which are in modules by subject. ``scene`` has what several of them need, opened once and to
read only. ``examination`` runs them: each by itself, so that one that fails leaves the others their say.
"""
