"""Texts of others, read, cut into chunks and kept in the database, to be searched by words and meaning.

- `Source`: a file or anything else that has bytes; `sources_in`: those of a folder.
- `read`: HTML, Markdown or plain text as chunks that follow its headings.
- `prepare_documents`, `load_documents`: tables, and what is in them, made to agree with the sources.
- `DOCUMENT_SEARCH`, `document_objects`, `corpus_tag`: how chunks are searched, what the database keeps for it, and what
  answers depend on.
"""

from __future__ import annotations

from tailrace.semantic.documents.chunking import Block, Chunk, chunks_of
from tailrace.semantic.documents.folder import sources_in
from tailrace.semantic.documents.loading import LoadProgress, LoadReport, Refusal, load_documents
from tailrace.semantic.documents.reading import ReadDocument, Source, UnreadableError, read
from tailrace.semantic.documents.tables import (
    DOCUMENT_SEARCH,
    corpus_tag,
    creation,
    document_chunks,
    document_objects,
    documents,
    prepare_documents,
)

__all__ = [
    "DOCUMENT_SEARCH",
    "Block",
    "Chunk",
    "LoadProgress",
    "LoadReport",
    "ReadDocument",
    "Refusal",
    "Source",
    "UnreadableError",
    "chunks_of",
    "corpus_tag",
    "creation",
    "document_chunks",
    "document_objects",
    "documents",
    "load_documents",
    "prepare_documents",
    "read",
    "sources_in",
]
