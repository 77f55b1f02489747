"""A local receiver of alerts, and the two sensors ticked by hand; for test_alerts.py."""

import json
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import dagster as dg

from platform_assets.core.settings import Settings
from platform_assets.orchestration import alerts


class Receiver:
    """A webhook on a free local port; answers with `answers` in turn, then 200."""

    def __init__(self):
        self.received, self.answers = [], []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = receiver.answers.pop(0) if receiver.answers else 200
                if status == 200:
                    receiver.received.append(body)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            def do_GET(self):
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args): ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def nobody_listening():
    gone = Receiver()
    gone.close()
    yield gone.url


class Watcher:
    """The two sensors, ticked by hand; the first tick sets their cursors to now."""

    def __init__(self, instance, webhook, settle_seconds=0.0, defs=None):
        settings = replace(Settings.from_environment({}), alert_webhook=webhook)
        self.sensors = alerts.alert_sensors(settings, "http://dagster.example/", settle_seconds)
        self.instance, self.cursors, self.defs = instance, {}, defs
        self.tick()

    def tick(self):
        for sensor in self.sensors:
            repository = self.defs.get_repository_def() if self.defs else None
            cursor = self.cursors.get(sensor.name)
            context = dg.build_sensor_context(self.instance, cursor=cursor, repository_def=repository)
            sensor(context)
            self.cursors[sensor.name] = context.cursor


def run(instance, asset, **how):
    return dg.materialize([asset], instance=instance, raise_on_error=False, **how).run_id


def checks_of(received):
    return [message for message in received if message["check"]]
