"""Reliable, ordered streams of segments between two instances: no input or output, and no clock of their own.

outbound     positions, credit, and what may have to be sent again
inbound      order, duplicates, and what to acknowledge
probing      when the sender asks what is missing, and which answer it believes
congestion   how much may be under way to one instance, over all streams
"""
