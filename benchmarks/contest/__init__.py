"""What `bench.py` runs: contenders side by side under the same load, and the report of what each costs."""
