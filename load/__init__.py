"""Load suites for k6: who asks (``plan``), what is promised (``suites.json``), and what came of it (``report``).

``mix.js`` and ``answers.js`` are what k6 runs, as users of what ``make up`` serves.
"""
