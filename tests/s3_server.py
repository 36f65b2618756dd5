"""moto's S3, one request at a time: it looks whether a key exists and then writes, which threads can do both at once."""

import sys
import threading

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

_ONE = threading.Lock()
_APP = DomainDispatcherApplication(create_backend_app)


def app(environ, start_response):
    with _ONE:
        return [b"".join(_APP(environ, start_response))]


if __name__ == "__main__":
    run_simple("127.0.0.1", int(sys.argv[1]), app, threaded=True)
