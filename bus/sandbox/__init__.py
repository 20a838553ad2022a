"""The other side: stand-in Bitrix24, Bitrix CMS shop and 1C over real HTTP, with faults on demand.

For the demo, development, tests and benchmarks; it knows nothing of the bus. Deliberate deviations from the real
systems: plain http on 127.0.0.1 is welcome, there are no permissions and no automation robots, and the clock may be
virtual.
"""
