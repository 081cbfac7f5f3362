"""A libtorrent client as a program of its own: libtorrent_peer.py TORRENT FOLDER IP PORT [seed]

Writes one JSON array [kind, text] a line for every alert about trackers, peers and the torrent,
and ["complete", ""] when it has everything. SIGTERM: leave the swarm and end.

A process each, because libtorrent remembers UDP connection ids by the tracker's address, and
sessions of one process would show the tracker ids that it gave to another address.
"""

import json
import signal
import sys

import libtorrent

WANTED = ("tracker", "torrent", "peer_connect", "peer_disconnected", "listen")
STEP_MS = 100


def say(kind, text=""):
    print(json.dumps([kind, text]), flush=True)


def make_session(ip, port):
    address = f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"
    category = libtorrent.alert.category_t
    return libtorrent.session({
        "listen_interfaces": address, "outgoing_interfaces": ip, "enable_dht": False,
        "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
        "allow_multiple_connections_per_ip": True, "ssrf_mitigation": False,
        "min_announce_interval": 1, "enable_outgoing_utp": False, "enable_incoming_utp": False,
        "alert_mask": category.tracker_notification | category.status_notification |
        category.error_notification | category.connect_notification})


def main(torrent, folder, ip, port, *seed):
    leaving = []
    signal.signal(signal.SIGTERM, lambda *_: leaving.append(True))
    session = make_session(ip, port)
    params = libtorrent.add_torrent_params()
    params.ti = libtorrent.torrent_info(torrent)
    params.save_path = folder
    params.flags &= ~(libtorrent.torrent_flags.auto_managed | libtorrent.torrent_flags.paused)
    if seed:
        params.flags |= libtorrent.torrent_flags.seed_mode
    handle = session.add_torrent(params)
    complete = False
    while not leaving:
        session.wait_for_alert(STEP_MS)
        for alert in session.pop_alerts():
            kind = type(alert).__name__
            if kind.startswith(WANTED):
                say(kind, alert.message())
        if not complete and handle.status().is_seeding:
            complete = True
            say("complete")
    session.remove_torrent(handle)
    # Its end waits for "stopped" to be announced.


if __name__ == "__main__":
    main(*sys.argv[1:])
