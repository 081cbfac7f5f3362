/* The counters of a session, one line each, sorted by name: what the document shows and nothing else.
 *
 * Gauges     of this moment: num_ of peers, disk, utp and of torrents by state, limiter_, dht_nodes
 *            and their like. All others never become smaller.
 * Torrents   each is in one of the states: an error goes before a pause, a pause before the rest.
 * Times      of the disk are of its threads, and of the loop where it reads what is in memory. A piece
 *            that is hashed as its blocks come takes none of it. A hit of the cache is a block that the
 *            kernel had in its page cache.
 * Picks      each time that the picker looked for blocks, by what made it look (enum engine_pick).
 * Zero       what means something that this program does not have:
 *              dht. utp. net.on_lsd_                DHT, uTP, local discovery
 *              disk.arc_ read_cache_blocks pinned_  a cache of blocks beside the kernel's
 *              disk.num_fenced_ of other jobs       move, rename, flush, trim ... : no such jobs
 *              peer.num_ of socks5, http_proxy, i2p, ssl; error_encrypted_ error_rc4_ error_utp_
 *                                                   proxies, I2P, TLS and encryption between peers
 *              picker.piece_picker_suggest_loops    suggestions are heard and not followed
 *              ses.num_queued_                      whatever is not paused runs: nothing is queued
 *              ses.non_filter_torrents              there is no filter of addresses to be left out of
 *              ses.torrent_evicted_counter          every torrent stays loaded
 */
#include "api/spritzle_session.h"

#include "api/spritzle_json.h"
#include "client/choker.h"
#include "net/job.h"
#include "proto/peer_wire.h"

#include "base/banned.h"

/* What takes more than one number of the engine's. */
struct derived {
    const struct engine_totals *totals;
    struct disk_stats disk;
    struct trackers_stats trackers;
    uint64_t down_payload, redundant_len;
    uint64_t n_torrents, checking, downloading, n_slots;
    uint64_t errors;
    uint64_t queued_jobs, unwritten_blocks, blocks_in_use;
    uint64_t n_held; /* jobs of the disk */
};

enum { NS_PER_US = 1000 };

/* X(name, value) */
#define COUNTERS(X)                                                                                \
    X("dht.dht_allocated_observers", 0)                                                            \
    X("dht.dht_announce_peer_in", 0)                                                               \
    X("dht.dht_announce_peer_out", 0)                                                              \
    X("dht.dht_bytes_in", 0)                                                                       \
    X("dht.dht_bytes_out", 0)                                                                      \
    X("dht.dht_find_node_in", 0)                                                                   \
    X("dht.dht_find_node_out", 0)                                                                  \
    X("dht.dht_get_in", 0)                                                                         \
    X("dht.dht_get_out", 0)                                                                        \
    X("dht.dht_get_peers_in", 0)                                                                   \
    X("dht.dht_get_peers_out", 0)                                                                  \
    X("dht.dht_immutable_data", 0)                                                                 \
    X("dht.dht_invalid_announce", 0)                                                               \
    X("dht.dht_invalid_get", 0)                                                                    \
    X("dht.dht_invalid_get_peers", 0)                                                              \
    X("dht.dht_invalid_put", 0)                                                                    \
    X("dht.dht_messages_in", 0)                                                                    \
    X("dht.dht_messages_out", 0)                                                                   \
    X("dht.dht_messages_out_dropped", 0)                                                           \
    X("dht.dht_mutable_data", 0)                                                                   \
    X("dht.dht_node_cache", 0)                                                                     \
    X("dht.dht_nodes", 0)                                                                          \
    X("dht.dht_peers", 0)                                                                          \
    X("dht.dht_ping_in", 0)                                                                        \
    X("dht.dht_ping_out", 0)                                                                       \
    X("dht.dht_put_in", 0)                                                                         \
    X("dht.dht_put_out", 0)                                                                        \
    X("dht.dht_torrents", 0)                                                                       \
    X("disk.arc_mfu_ghost_size", 0)                                                                \
    X("disk.arc_mfu_size", 0)                                                                      \
    X("disk.arc_mru_ghost_size", 0)                                                                \
    X("disk.arc_mru_size", 0)                                                                      \
    X("disk.arc_volatile_size", 0)                                                                 \
    X("disk.arc_write_size", 0)                                                                    \
    X("disk.blocked_disk_jobs", f->n_held)                                                         \
    X("disk.disk_blocks_in_use", f->blocks_in_use)                                                 \
    X("disk.disk_hash_time", f->disk.hash_ns / NS_PER_US)                                          \
    X("disk.disk_job_time", f->disk.work_ns / NS_PER_US)                                           \
    X("disk.disk_read_time", f->disk.read_ns / NS_PER_US)                                          \
    X("disk.disk_write_time", f->disk.write_ns / NS_PER_US)                                        \
    X("disk.num_blocks_cache_hits", f->disk.blocks_cached)                                         \
    X("disk.num_blocks_hashed", t->blocks_hashed)                                                  \
    X("disk.num_blocks_read", t->blocks_read)                                                      \
    X("disk.num_blocks_written", t->blocks_written)                                                \
    X("disk.num_fenced_cache_piece", 0)                                                            \
    X("disk.num_fenced_check_fastresume", f->disk.held[DISK_CHECK])                                \
    X("disk.num_fenced_clear_piece", 0)                                                            \
    X("disk.num_fenced_delete_files", f->disk.n_deletes_held)                                      \
    X("disk.num_fenced_file_priority", f->disk.held[DISK_WANTED])                                  \
    X("disk.num_fenced_flush_hashed", 0)                                                           \
    X("disk.num_fenced_flush_piece", 0)                                                            \
    X("disk.num_fenced_flush_storage", f->disk.held[DISK_SYNC])                                    \
    X("disk.num_fenced_hash", f->disk.held[DISK_HASH])                                             \
    X("disk.num_fenced_load_torrent", 0)                                                           \
    X("disk.num_fenced_move_storage", 0)                                                           \
    X("disk.num_fenced_read", f->disk.held[DISK_READ])                                             \
    X("disk.num_fenced_release_files", f->disk.held[DISK_CLOSE])                                   \
    X("disk.num_fenced_rename_file", 0)                                                            \
    X("disk.num_fenced_save_resume_data", 0)                                                       \
    X("disk.num_fenced_stop_torrent", f->disk.held[DISK_REMOVE] - f->disk.n_deletes_held)          \
    X("disk.num_fenced_tick_storage", 0)                                                           \
    X("disk.num_fenced_trim_cache", 0)                                                             \
    X("disk.num_fenced_write", f->disk.held[DISK_WRITE])                                           \
    X("disk.num_jobs", t->disk_queue_jobs)                                                         \
    X("disk.num_read_back", t->blocks_read_back)                                                   \
    X("disk.num_read_jobs", t->disk_queue_reads)                                                   \
    X("disk.num_read_ops", t->disk_reads + t->disk_hashes)                                         \
    X("disk.num_running_disk_jobs", f->disk.jobs)                                                  \
    X("disk.num_running_threads", s->n_threads)                                                    \
    X("disk.num_write_jobs", t->disk_queue_writes)                                                 \
    X("disk.num_write_ops", t->disk_writes)                                                        \
    X("disk.num_writing_threads", f->disk.writing)                                                 \
    X("disk.pinned_blocks", 0)                                                                     \
    X("disk.queued_disk_jobs", f->queued_jobs)                                                     \
    X("disk.queued_write_bytes", t->unwritten_len)                                                 \
    X("disk.read_cache_blocks", 0)                                                                 \
    X("disk.request_latency", f->disk.read_wait_ns / NS_PER_US)                                    \
    X("disk.write_cache_blocks", f->unwritten_blocks)                                              \
    X("net.has_incoming_connections", t->accepts > 0)                                              \
    X("net.limiter_down_bytes", t->limited_down_len)                                               \
    X("net.limiter_down_queue", t->now.limited_down)                                               \
    X("net.limiter_up_bytes", t->limited_up_len)                                                   \
    X("net.limiter_up_queue", t->now.limited_up)                                                   \
    X("net.on_accept_counter", t->accepts + t->accepts_refused)                                    \
    X("net.on_disk_counter", t->disk_jobs)                                                         \
    X("net.on_disk_queue_counter", t->disk_relieved)                                               \
    X("net.on_lsd_counter", 0)                                                                     \
    X("net.on_lsd_peer_counter", 0)                                                                \
    X("net.on_read_counter", t->in.calls)                                                          \
    X("net.on_tick_counter", t->ticks)                                                             \
    X("net.on_udp_counter", f->trackers.datagrams)                                                 \
    X("net.on_write_counter", t->out.calls)                                                        \
    X("net.recv_bytes", t->wire.down)                                                              \
    X("net.recv_failed_bytes", t->failed_len)                                                      \
    X("net.recv_ip_overhead_bytes", t->in.ip_len)                                                  \
    X("net.recv_payload_bytes", f->down_payload)                                                   \
    X("net.recv_redundant_bytes", f->redundant_len)                                                \
    X("net.recv_tracker_bytes", f->trackers.received_len)                                          \
    X("net.sent_bytes", t->wire.up)                                                                \
    X("net.sent_ip_overhead_bytes", t->out.ip_len)                                                 \
    X("net.sent_payload_bytes", t->wire.up_payload)                                                \
    X("net.sent_tracker_bytes", f->trackers.sent_len)                                              \
    X("peer.aborted_peers", t->ends[-ERR_CANCELED])                                                \
    X("peer.addrinuse_peers", t->ends[-ERR_IN_USE])                                                \
    X("peer.banned_for_hash_failure", t->banned)                                                   \
    X("peer.broken_pipe_peers", t->ends[-ERR_BROKEN_PIPE])                                         \
    X("peer.buffer_peers", t->ends[-ERR_NO_BUFFERS])                                               \
    X("peer.cancelled_piece_requests", t->messages.in[WIRE_CANCEL])                                \
    X("peer.choked_piece_requests", t->messages.requests_choked)                                   \
    X("peer.connaborted_peers", t->ends[-ERR_ABORTED])                                             \
    X("peer.connect_timeouts", t->connects_timed_out + t->partings.no_handshake)                   \
    X("peer.connection_attempt_loops", t->candidates_seen)                                         \
    X("peer.connection_attempts", t->connects)                                                     \
    X("peer.connrefused_peers", t->ends[-ERR_REFUSED])                                             \
    X("peer.connreset_peers", t->ends[-ERR_RESET])                                                 \
    X("peer.disconnected_peers", t->disconnects)                                                   \
    X("peer.eof_peers", t->ends[-ERR_CLOSED])                                                      \
    X("peer.error_encrypted_peers", 0)                                                             \
    X("peer.error_incoming_peers", t->broken_incoming)                                             \
    X("peer.error_outgoing_peers", f->errors - t->broken_incoming)                                 \
    X("peer.error_peers", f->errors)                                                               \
    X("peer.error_rc4_peers", 0)                                                                   \
    X("peer.error_tcp_peers", f->errors)                                                           \
    X("peer.error_utp_peers", 0)                                                                   \
    X("peer.incoming_connections", t->accepts)                                                     \
    X("peer.invalid_arg_peers", t->ends[-ERR_INVALID])                                             \
    X("peer.invalid_piece_requests", t->messages.requests_invalid)                                 \
    X("peer.max_piece_requests", t->messages.requests_over)                                        \
    X("peer.no_access_peers", t->ends[-ERR_DENIED])                                                \
    X("peer.no_memory_peers", t->ends[-ERR_NO_MEMORY])                                             \
    X("peer.notconnected_peers", t->ends[-ERR_NOT_CONNECTED])                                      \
    X("peer.num_banned_peers", t->banned)                                                          \
    X("peer.num_http_proxy_peers", 0)                                                              \
    X("peer.num_i2p_peers", 0)                                                                     \
    X("peer.num_peers_connected", t->n_peers)                                                      \
    X("peer.num_peers_down_disk", t->now.waits_for_disk)                                           \
    X("peer.num_peers_down_interested", t->now.interesting)                                        \
    X("peer.num_peers_down_requests", t->now.asked)                                                \
    X("peer.num_peers_down_unchoked", t->now.unchoking)                                            \
    X("peer.num_peers_end_game", t->now.end_game)                                                  \
    X("peer.num_peers_half_open", t->n_half_open)                                                  \
    X("peer.num_peers_up_disk", t->now.reads_from_disk)                                            \
    X("peer.num_peers_up_interested", t->now.interested)                                           \
    X("peer.num_peers_up_requests", t->now.asking)                                                 \
    X("peer.num_peers_up_unchoked", t->n_unchoked)                                                 \
    X("peer.num_peers_up_unchoked_all", t->n_unchoked)                                             \
    X("peer.num_peers_up_unchoked_optimistic", t->now.optimistic)                                  \
    X("peer.num_socks5_peers", 0)                                                                  \
    X("peer.num_ssl_http_proxy_peers", 0)                                                          \
    X("peer.num_ssl_peers", 0)                                                                     \
    X("peer.num_ssl_socks5_peers", 0)                                                              \
    X("peer.num_ssl_utp_peers", 0)                                                                 \
    X("peer.num_tcp_peers", t->now.connected)                                                      \
    X("peer.num_utp_peers", 0)                                                                     \
    X("peer.perm_peers", t->ends[-ERR_NO_PRIVILEGE])                                               \
    X("peer.piece_rejects", t->messages.out[WIRE_REJECT])                                          \
    X("peer.piece_requests", t->messages.in[WIRE_REQUEST])                                         \
    X("peer.timeout_peers", t->partings.idle)                                                      \
    X("peer.too_many_peers", t->partings.too_many)                                                 \
    X("peer.transport_timeout_peers", t->ends[-ERR_TIMEOUT])                                       \
    X("peer.uninteresting_peers", t->partings.uninteresting)                                       \
    X("peer.unreachable_peers", t->ends[-ERR_UNREACHABLE])                                         \
    X("picker.end_game_piece_picks", t->picks[PICK_END_GAME])                                      \
    X("picker.hash_fail_piece_picks", t->picks[PICK_HASH_FAIL])                                    \
    X("picker.incoming_piece_picks", t->picks[PICK_INCOMING])                                      \
    X("picker.incoming_redundant_piece_picks", t->picks[PICK_REDUNDANT])                           \
    X("picker.interesting_piece_picks", t->picks[PICK_INTERESTING])                                \
    X("picker.piece_picker_busy_loops", t->picker.busy)                                            \
    X("picker.piece_picker_partial_loops", t->picker.partial)                                      \
    X("picker.piece_picker_rand_loops", t->picker.random)                                          \
    X("picker.piece_picker_rand_start_loops", t->picker.random_skipped)                            \
    X("picker.piece_picker_rare_loops", t->picker.rare)                                            \
    X("picker.piece_picker_reverse_rare_loops", t->picker.rare_reverse)                            \
    X("picker.piece_picker_sequential_loops", t->picker.sequential)                                \
    X("picker.piece_picker_suggest_loops", 0)                                                      \
    X("picker.reject_piece_picks", t->picks[PICK_REJECT])                                          \
    X("picker.snubbed_piece_picks", t->picks[PICK_SNUBBED])                                        \
    X("picker.unchoke_piece_picks", t->picks[PICK_UNCHOKE])                                        \
    X("ses.non_filter_torrents", 0)                                                                \
    X("ses.num_checking_torrents", f->checking)                                                    \
    X("ses.num_downloading_torrents", f->downloading)                                              \
    X("ses.num_error_torrents", t->n_faulty)                                                       \
    X("ses.num_have_pieces", t->pieces_had)                                                        \
    X("ses.num_incoming_allowed_fast", t->messages.in[WIRE_ALLOWED_FAST])                          \
    X("ses.num_incoming_bitfield", t->messages.in[WIRE_BITFIELD])                                  \
    X("ses.num_incoming_cancel", t->messages.in[WIRE_CANCEL])                                      \
    X("ses.num_incoming_choke", t->messages.in[WIRE_CHOKE])                                        \
    X("ses.num_incoming_dht_port", t->messages.in[WIRE_PORT])                                      \
    X("ses.num_incoming_ext_handshake", t->messages.in_extended[PEER_EXT_HANDSHAKE])               \
    X("ses.num_incoming_extended", t->messages.in_extended[PEER_EXT_OTHER])                        \
    X("ses.num_incoming_have", t->messages.in[WIRE_HAVE])                                          \
    X("ses.num_incoming_have_all", t->messages.in[WIRE_HAVE_ALL])                                  \
    X("ses.num_incoming_have_none", t->messages.in[WIRE_HAVE_NONE])                                \
    X("ses.num_incoming_interested", t->messages.in[WIRE_INTERESTED])                              \
    X("ses.num_incoming_metadata", t->messages.in_extended[PEER_EXT_METADATA])                     \
    X("ses.num_incoming_not_interested", t->messages.in[WIRE_NOT_INTERESTED])                      \
    X("ses.num_incoming_pex", t->messages.in_extended[PEER_EXT_PEX])                               \
    X("ses.num_incoming_piece", t->messages.in[WIRE_PIECE])                                        \
    X("ses.num_incoming_reject", t->messages.in[WIRE_REJECT])                                      \
    X("ses.num_incoming_request", t->messages.in[WIRE_REQUEST])                                    \
    X("ses.num_incoming_suggest", t->messages.in[WIRE_SUGGEST])                                    \
    X("ses.num_incoming_unchoke", t->messages.in[WIRE_UNCHOKE])                                    \
    X("ses.num_loaded_torrents", f->n_torrents)                                                    \
    X("ses.num_outgoing_allowed_fast", t->messages.out[WIRE_ALLOWED_FAST])                         \
    X("ses.num_outgoing_bitfield", t->messages.out[WIRE_BITFIELD])                                 \
    X("ses.num_outgoing_cancel", t->messages.out[WIRE_CANCEL])                                     \
    X("ses.num_outgoing_choke", t->messages.out[WIRE_CHOKE])                                       \
    X("ses.num_outgoing_dht_port", t->messages.out[WIRE_PORT])                                     \
    X("ses.num_outgoing_ext_handshake", t->messages.out_extended[PEER_EXT_HANDSHAKE])              \
    X("ses.num_outgoing_extended", t->messages.out_extended[PEER_EXT_OTHER])                       \
    X("ses.num_outgoing_have", t->messages.out[WIRE_HAVE])                                         \
    X("ses.num_outgoing_have_all", t->messages.out[WIRE_HAVE_ALL])                                 \
    X("ses.num_outgoing_have_none", t->messages.out[WIRE_HAVE_NONE])                               \
    X("ses.num_outgoing_interested", t->messages.out[WIRE_INTERESTED])                             \
    X("ses.num_outgoing_metadata", t->messages.out_extended[PEER_EXT_METADATA])                    \
    X("ses.num_outgoing_not_interested", t->messages.out[WIRE_NOT_INTERESTED])                     \
    X("ses.num_outgoing_pex", t->messages.out_extended[PEER_EXT_PEX])                              \
    X("ses.num_outgoing_piece", t->messages.out[WIRE_PIECE])                                       \
    X("ses.num_outgoing_reject", t->messages.out[WIRE_REJECT])                                     \
    X("ses.num_outgoing_request", t->messages.out[WIRE_REQUEST])                                   \
    X("ses.num_outgoing_suggest", t->messages.out[WIRE_SUGGEST])                                   \
    X("ses.num_outgoing_unchoke", t->messages.out[WIRE_UNCHOKE])                                   \
    X("ses.num_piece_failed", t->hash_failures)                                                    \
    X("ses.num_piece_passed", t->pieces_passed)                                                    \
    X("ses.num_pinned_torrents", f->n_torrents)                                                    \
    X("ses.num_queued_download_torrents", 0)                                                       \
    X("ses.num_queued_seeding_torrents", 0)                                                        \
    X("ses.num_seeding_torrents", t->n_running[TORRENT_SEEDING])                                   \
    X("ses.num_stopped_torrents", t->n_stopped)                                                    \
    X("ses.num_total_pieces_added", t->pieces_added)                                               \
    X("ses.num_unchoke_slots", f->n_slots)                                                         \
    X("ses.num_upload_only_torrents", t->n_running[TORRENT_FINISHED])                              \
    X("ses.torrent_evicted_counter", 0)                                                            \
    X("ses.waste_piece_cancelled", t->waste[WASTE_CANCELLED])                                      \
    X("ses.waste_piece_closing", t->waste[WASTE_CLOSING])                                          \
    X("ses.waste_piece_end_game", t->waste[WASTE_END_GAME])                                        \
    X("ses.waste_piece_seed", t->waste[WASTE_SEED])                                                \
    X("ses.waste_piece_timed_out", t->waste[WASTE_TIMED_OUT])                                      \
    X("ses.waste_piece_unknown", t->waste[WASTE_UNKNOWN])                                          \
    X("sock_bufs.socket_recv_size10", t->in.sizes[7])                                              \
    X("sock_bufs.socket_recv_size11", t->in.sizes[8])                                              \
    X("sock_bufs.socket_recv_size12", t->in.sizes[9])                                              \
    X("sock_bufs.socket_recv_size13", t->in.sizes[10])                                             \
    X("sock_bufs.socket_recv_size14", t->in.sizes[11])                                             \
    X("sock_bufs.socket_recv_size15", t->in.sizes[12])                                             \
    X("sock_bufs.socket_recv_size16", t->in.sizes[13])                                             \
    X("sock_bufs.socket_recv_size17", t->in.sizes[14])                                             \
    X("sock_bufs.socket_recv_size18", t->in.sizes[15])                                             \
    X("sock_bufs.socket_recv_size19", t->in.sizes[16])                                             \
    X("sock_bufs.socket_recv_size20", t->in.sizes[17])                                             \
    X("sock_bufs.socket_recv_size3", t->in.sizes[0])                                               \
    X("sock_bufs.socket_recv_size4", t->in.sizes[1])                                               \
    X("sock_bufs.socket_recv_size5", t->in.sizes[2])                                               \
    X("sock_bufs.socket_recv_size6", t->in.sizes[3])                                               \
    X("sock_bufs.socket_recv_size7", t->in.sizes[4])                                               \
    X("sock_bufs.socket_recv_size8", t->in.sizes[5])                                               \
    X("sock_bufs.socket_recv_size9", t->in.sizes[6])                                               \
    X("sock_bufs.socket_send_size10", t->out.sizes[7])                                             \
    X("sock_bufs.socket_send_size11", t->out.sizes[8])                                             \
    X("sock_bufs.socket_send_size12", t->out.sizes[9])                                             \
    X("sock_bufs.socket_send_size13", t->out.sizes[10])                                            \
    X("sock_bufs.socket_send_size14", t->out.sizes[11])                                            \
    X("sock_bufs.socket_send_size15", t->out.sizes[12])                                            \
    X("sock_bufs.socket_send_size16", t->out.sizes[13])                                            \
    X("sock_bufs.socket_send_size17", t->out.sizes[14])                                            \
    X("sock_bufs.socket_send_size18", t->out.sizes[15])                                            \
    X("sock_bufs.socket_send_size19", t->out.sizes[16])                                            \
    X("sock_bufs.socket_send_size20", t->out.sizes[17])                                            \
    X("sock_bufs.socket_send_size3", t->out.sizes[0])                                              \
    X("sock_bufs.socket_send_size4", t->out.sizes[1])                                              \
    X("sock_bufs.socket_send_size5", t->out.sizes[2])                                              \
    X("sock_bufs.socket_send_size6", t->out.sizes[3])                                              \
    X("sock_bufs.socket_send_size7", t->out.sizes[4])                                              \
    X("sock_bufs.socket_send_size8", t->out.sizes[5])                                              \
    X("sock_bufs.socket_send_size9", t->out.sizes[6])                                              \
    X("utp.num_utp_close_wait", 0)                                                                 \
    X("utp.num_utp_connected", 0)                                                                  \
    X("utp.num_utp_deleted", 0)                                                                    \
    X("utp.num_utp_fin_sent", 0)                                                                   \
    X("utp.num_utp_idle", 0)                                                                       \
    X("utp.num_utp_syn_sent", 0)                                                                   \
    X("utp.utp_fast_retransmit", 0)                                                                \
    X("utp.utp_invalid_pkts_in", 0)                                                                \
    X("utp.utp_packet_loss", 0)                                                                    \
    X("utp.utp_packet_resend", 0)                                                                  \
    X("utp.utp_packets_in", 0)                                                                     \
    X("utp.utp_packets_out", 0)                                                                    \
    X("utp.utp_payload_pkts_in", 0)                                                                \
    X("utp.utp_payload_pkts_out", 0)                                                               \
    X("utp.utp_redundant_pkts_in", 0)                                                              \
    X("utp.utp_samples_above_target", 0)                                                           \
    X("utp.utp_samples_below_target", 0)                                                           \
    X("utp.utp_timeout", 0)

static struct derived derive(const struct spritzle_session *s)
{
    const struct engine_totals *t = &s->totals;
    struct derived f = {
        .totals = t,
        .disk = s->disk,
        .trackers = s->trackers,
        .down_payload = t->wire.down_payload,
        .checking = (uint64_t)t->n_running[TORRENT_QUEUED_CHECK] + t->n_running[TORRENT_CHECKING],
        .downloading = (uint64_t)t->n_running[TORRENT_METADATA] + t->n_running[TORRENT_DOWNLOADING],
        .n_slots = t->n_slots > 0 ? t->n_slots : CHOKER_SLOTS_MIN,
        .errors = t->broken + t->connects_failed,
        .queued_jobs = t->disk_queue_jobs > s->disk.jobs ? t->disk_queue_jobs - s->disk.jobs : 0,
        .unwritten_blocks = (t->unwritten_len + WIRE_BLOCK_LEN - 1) / WIRE_BLOCK_LEN,
        .blocks_in_use = (t->memory_len + WIRE_BLOCK_LEN - 1) / WIRE_BLOCK_LEN,
    };
    for (size_t i = 0; i < ENGINE_N_WASTES; i++) {
        f.redundant_len += t->waste[i];
    }
    for (size_t i = 0; i < DISK_N_OPS; i++) {
        f.n_held += s->disk.held[i];
    }
    f.down_payload += f.redundant_len; /* it came, whatever it was worth */
    for (size_t i = 0; i < TORRENT_N_STATES; i++) {
        f.n_torrents += t->n_torrents[i];
    }
    return f;
}

void spritzle_session_add(struct buf *out, const struct spritzle_session *s)
{
    const struct derived derived = derive(s);
    const struct derived *f = &derived;
    const struct engine_totals *t = f->totals;
    buf_add_byte(out, '{');
#define COUNTER_ADD(name, value) spritzle_json_count(out, name, (uint64_t)(value));
    COUNTERS(COUNTER_ADD)
#undef COUNTER_ADD
    buf_add_byte(out, '}');
}

void spritzle_session_gather(struct spritzle_session *out, const struct client *c)
{
    engine_totals(client_engine(c), &out->totals);
    disk_stats(client_disk(c), &out->disk);
    client_trackers_stats(c, &out->trackers);
    out->n_threads = job_threads();
}
