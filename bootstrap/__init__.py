"""A DHT node that trains nothing and gives others a first address.

python -m bootstrap
"""
