"""Programs of others, written for PyTorch: optimizers and models from the package index, run with the same weights and
data under PyTorch (`tests/programs/make.py`) and under minidl (`tests/test_programs.py`).

None of their code is here. The packages have to be installed without what they depend on, so that PyTorch stays away:
`pip install --no-deps -r tests/programs/packages.txt`.
"""
