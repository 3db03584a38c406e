"""The HTTP API: REST and server-sent events over `mfgviz.service`.

`app.create_app` puts it together; `mfgviz serve` and `mfgviz up` run it. `routes/` has one file a noun.
"""
