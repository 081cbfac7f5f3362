#include "api/peer_client.h"

#include "base/banned.h"

static const struct {
    char code[3];
    const char *name;
} clients[] = {
    {"7T", "aTorrent"},
    {"AB", "AnyEvent::BitTorrent"},
    {"AG", "Ares"},
    {"AR", "Arctic"},
    {"AT", "Artemis"},
    {"AV", "Avicora"},
    {"AX", "BitPump"},
    {"AZ", "Azureus"},
    {"A~", "Ares"},
    {"BB", "BitBuddy"},
    {"BC", "BitComet"},
    {"BE", "Baretorrent"},
    {"BF", "Bitflu"},
    {"BG", "BTG"},
    {"BI", "BiglyBT"},
    {"BL", "BitBlinder"},
    {"BP", "BitTorrent Pro"},
    {"BR", "BitRocket"},
    {"BS", "BTSlave"},
    {"BT", "BitTorrent"},
    {"BW", "BitWombat"},
    {"BX", "BittorrentX"},
    {"CB", "Shareaza Plus"},
    {"CD", "Enhanced CTorrent"},
    {"CT", "CTorrent"},
    {"DE", "DelugeTorrent"},
    {"DP", "Propagate Data Client"},
    {"EB", "EBit"},
    {"ES", "Electric Sheep"},
    {"FC", "FileCroc"},
    {"FD", "Free Download Manager"},
    {"FG", "FlashGet"},
    {"FL", "Flud"},
    {"FT", "FoxTorrent"},
    {"FW", "FrostWire"},
    {"FX", "Freebox BitTorrent"},
    {"GR", "GetRight"},
    {"GS", "GSTorrent"},
    {"HK", "Hekate"},
    {"HL", "Halite"},
    {"HN", "Hydranode"},
    {"IL", "iLivid"},
    {"JS", "Justseed.it"},
    {"JT", "JavaTorrent"},
    {"KG", "KGet"},
    {"KT", "KTorrent"},
    {"LC", "LeechCraft"},
    {"LH", "LH-ABC"},
    {"LP", "Lphant"},
    {"LT", "libtorrent"},
    {"LW", "LimeWire"},
    {"MK", "Meerkat"},
    {"MO", "MonoTorrent"},
    {"MP", "MooPolice"},
    {"MR", "Miro"},
    {"MT", "MoonlightTorrent"},
    {"NB", "Net::BitTorrent"},
    {"NX", "Net Transport"},
    {"OP", "Opera"},
    {"OS", "OneSwarm"},
    {"OT", "OmegaTorrent"},
    {"PB", "Protocol::BitTorrent"},
    {"PD", "Pando"},
    {"PI", "PicoTorrent"},
    {"PT", "PHPTracker"},
    {"QD", "QQDownload"},
    {"QT", "Qt4Torrent"},
    {"RK", "Rookery"},
    {"RT", "Retriever"},
    {"RZ", "RezTorrent"},
    {"SB", "Swiftbit"},
    {"SD", "Thunder"},
    {"SM", "SoMud"},
    {"SN", "ShareNET"},
    {"SP", "BitSpirit"},
    {"SS", "SwarmScope"},
    {"ST", "SymTorrent"},
    {"SZ", "Shareaza"},
    {"S~", "Shareaza"},
    {"TB", "Torch"},
    {"TE", "Terasaur Seed Bank"},
    {"TL", "Tribler"},
    {"TN", "TorrentDotNET"},
    {"TR", "Transmission"},
    {"TS", "TorrentStorm"},
    {"TT", "TuoTu"},
    {"TX", "Tixati"},
    {"UE", "\xc2\xb5Torrent Embedded"},
    {"UL", "uLeecher!"},
    {"UM", "\xc2\xb5Torrent for Mac"},
    {"UT", "\xc2\xb5Torrent"},
    {"UW", "\xc2\xb5Torrent Web"},
    {"VG", "Vagaa"},
    {"WD", "WebTorrent Desktop"},
    {"WT", "BitLet"},
    {"WW", "WebTorrent"},
    {"WY", "FireTorrent"},
    {"XF", "Xfplay"},
    {"XL", "Xunlei"},
    {"XS", "XSwifter"},
    {"XT", "XanTorrent"},
    {"XX", "Xtorrent"},
    {"ZT", "ZipTorrent"},
    {"bk", "BitKitten"},
    {"lt", "libTorrent"},
    {"pX", "pHoeniX"},
    {"qB", "qBittorrent"},
    {"st", "SharkTorrent"},
};

const char *peer_client_name(const struct peer_id *id)
{
    if (id->b[0] == 'M') {
        return "BitTorrent";
    }
    if (memcmp(id->b, "A2-", 3) == 0) {
        return "aria2";
    }
    if (id->b[0] != '-' || id->b[7] != '-') {
        return NULL;
    }
    for (size_t i = 0; i < sizeof clients / sizeof clients[0]; i++) {
        if (memcmp(clients[i].code, id->b + 1, 2) == 0) {
            return clients[i].name;
        }
    }
    return NULL;
}
