"""Builds the compiled scan where there is a compiler; where there is none, the Python reference does its work."""

from setuptools import Extension, setup

SOURCE = "sidecar/tcpservice/wire/_scan.pyx"

setup(ext_modules=[Extension("tcpservice.wire._scan", [SOURCE], optional=True, extra_compile_args=["-O3"])])
