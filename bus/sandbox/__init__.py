"""The other side: stand-ins of a Bitrix24 portal, a Bitrix CMS shop and a 1C base over real HTTP, with faults on demand.

For the demo, development, tests and benchmarks; it knows nothing of the bus. Deliberate deviations from the real
systems: plain http on 127.0.0.1 is welcome, there are no permissions and no automation robots, and the clock may be
virtual.
"""
