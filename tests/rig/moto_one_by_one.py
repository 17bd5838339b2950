"""moto_server, but one request at a time.

moto looks whether a name is there, and writes it a moment later. Its server runs a thread for each connection, so on
a busy machine two create-only puts of one name both succeeded, once in some hundred races.
"""
import sys
import threading

from moto import server

lock = threading.Lock()
answer = server.DomainDispatcherApplication.__call__


def one_by_one(self, environ, start_response):
    with lock:
        return answer(self, environ, start_response)


server.DomainDispatcherApplication.__call__ = one_by_one
sys.exit(server.main(sys.argv[1:]))
