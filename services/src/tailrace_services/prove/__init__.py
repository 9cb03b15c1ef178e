"""The proof: the slow and the fast service on the same data in one run, with the same answers.

``subject`` is what a service says of itself to be proved; ``stage`` brings databases and servers up, ``comparison``
compares answers, ``timing`` and ``load`` measure, ``conditions`` tries what is special, ``phases`` puts these together,
``report`` says what came out.
"""

from __future__ import annotations
