from .app import create_app
from .client import Client
from .run import named, serve
from .served_index import ServedIndex
from .settings import ServeSettings

__all__ = ["Client", "ServeSettings", "ServedIndex", "create_app", "named", "serve"]
