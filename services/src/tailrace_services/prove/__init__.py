"""The proof: the slow and the fast service on the same data in one run, with the same answers.

``stage`` brings databases and servers up, ``subject`` names the endpoints, ``answers`` compares, ``timing`` and
``load`` measure, ``conditions`` tries what is special, ``report`` says what came out.
"""

from __future__ import annotations
