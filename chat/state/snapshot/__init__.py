"""The state as a document, and back."""
