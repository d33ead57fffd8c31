"""Feeds: the tops of data layers as tensors, pass by pass.

feed.py          Feed, and LayerFeed, whose position a snapshot can hold
record_feed.py   databases, lists and HDF5 files
dummy_feed.py    DummyData: tensors that fillers make
memory_feed.py   MemoryData: arrays of a program
random_feed.py   random input in place of a program, to time a net
net_feeds.py     the feeds of a net's data layers
"""
