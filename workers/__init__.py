"""The hands: Celery tasks, thin, one file per channel; and bootstrap, where everything is put together."""
