"""The demo, `app/demo.py`: a page and an HTTP interface around `conversation.predict`."""
