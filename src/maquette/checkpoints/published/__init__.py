"""The published models: one module per family, each a tuple ``MODELS`` of ``PublishedModel``.
Nothing is imported here.

    trellis.py   structure VAE and flow, SLat encoder, flow and decoders, sampler, preprocessing,
    FlexiCubes
    ...          iscene.py, triposg.py, midi.py, dinov2.py, clip.py in the same form
    base.py      the interface, strict loading, precision

How a checkpoint becomes a network, and how ``maquette models verify FOLDER`` checks it
(config.json, model.safetensors, io.npz):

    model   = the PublishedModel of MODELS with ``model.answers(config)`` network =
    model.build(config)                          # also under torch.device("meta")
    model.load(network, tensors, dtype)                    # strict: keys and shapes;
    CheckpointError names what is wrong outputs = model.run(network, given, config)            #
    given = the entries of io.npz whose names are in model.inputs

Every entry of io.npz that is not an input must come back from ``run`` under the same name and
shape, within ``model.tolerance(key)``; the only exceptions are the keys of ``model.skipped``, each
with its reason. Models without weights (samplers, preprocessing) have ``build = None`` and get
``network = None``.
"""
