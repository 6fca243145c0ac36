"""The demo's archive: a small PACS on pynetdicom, in a process of its own. It knows nothing of the mesh.

catalog       what is stored, and what of it matches a query (matching: the rules)
storage       C-STORE                   queries   C-FIND, C-GET, C-MOVE
commitment    storage commitment        steps     modality performed procedure steps
associations  what each of them gets    verbatim  sends files as they are
"""
