/* What a caller may have the server fetch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/url_policy.h"

#include "base/banned.h"

enum { NEVER, ANY, PUBLIC }; /* the narrowest setting that still allows it */

static void test_addresses(void **state)
{
    static const struct {
        const char *addr;
        int widest;
    } cases[] = {
        {"93.184.216.34", PUBLIC},
        {"1.1.1.1", PUBLIC},
        {"172.15.255.255", PUBLIC},
        {"172.32.0.0", PUBLIC},
        {"100.63.255.255", PUBLIC},
        {"198.17.255.255", PUBLIC},
        {"223.255.255.255", PUBLIC},
        {"2606:4700::1111", PUBLIC},
        {"64:ff9b::101:101", PUBLIC},
        {"2002:101:101::1", PUBLIC},
        {"127.0.0.1", ANY},
        {"127.255.255.255", ANY},
        {"::1", ANY},
        {"::ffff:127.0.0.1", ANY},
        {"10.0.0.1", ANY},
        {"172.16.0.1", ANY},
        {"192.168.1.1", ANY},
        {"100.64.0.1", ANY},
        {"0.0.0.0", ANY},
        {"0.1.2.3", ANY},
        {"::", ANY},
        {"192.0.2.1", ANY},
        {"198.18.0.1", ANY},
        {"198.51.100.1", ANY},
        {"203.0.113.1", ANY},
        {"240.0.0.1", ANY},
        {"fd12::1", ANY},
        {"2001:db8::1", ANY},
        {"fec0::1", ANY},
        {"64:ff9b::7f00:1", ANY},
        {"64:ff9b::a00:1", ANY},
        {"2002:7f00:1::1", ANY},
        {"2002:c0a8:101::", ANY},
        {"::10.0.0.1", ANY},
        {"169.254.169.254", NEVER},
        {"169.254.0.1", NEVER},
        {"::ffff:169.254.169.254", NEVER},
        {"64:ff9b::a9fe:a9fe", NEVER},
        {"2002:a9fe:a9fe::1", NEVER},
        {"::169.254.169.254", NEVER},
        {"fe80::1", NEVER},
        {"febf::1", NEVER},
        {"fd00:ec2::254", NEVER},
        {"100.100.100.200", NEVER},
        {"168.63.129.16", NEVER},
        {"192.0.0.192", NEVER},
        {"224.0.0.1", NEVER},
        {"255.255.255.255", NEVER},
        {"ff02::1", NEVER},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct addr a;
        assert_true(addr_parse(&a, span_str(cases[i].addr)));
        bool any = url_policy_allows(URL_FETCH_ANY, &a);
        bool public = url_policy_allows(URL_FETCH_PUBLIC, &a);
        if (any != (cases[i].widest >= ANY) || public != (cases[i].widest >= PUBLIC)) {
            fail_msg("%s", cases[i].addr);
        }
        assert_false(url_policy_allows(URL_FETCH_OFF, &a));
    }
}

static void test_urls(void **state)
{
    static const struct {
        const char *url;
        bool good;
    } cases[] = {
        {"http://a", true},
        {"HTTPS://a.example:8443/x?y=%20#z", true},
        {"http://[::1]/", true},
        {"http://user:secret@a/", true},
        {"", false},
        {"http://", false},
        {"http:///etc/passwd", false},
        {"http://?x", false},
        {"http://#x", false},
        {"http:/a", false},
        {"http:a", false},
        {"file:///etc/passwd", false},
        {"ftp://a/", false},
        {"gopher://a/", false},
        {"//a/", false},
        {"a.example/x.torrent", false},
        {" http://a", false},
        {"http://a b", false},
        {"http://a\r\nx: y", false},
        {"http://a\x7f", false},
    };
    char url[URL_MAX + 2];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (url_policy_is_url(span_str(cases[i].url)) != cases[i].good) {
            fail_msg("%s", cases[i].url);
        }
    }
    assert_false(url_policy_is_url(SPAN("http://a\0b")));
    memset(url, 'a', sizeof url);
    memcpy(url, "http://", 7);
    assert_true(url_policy_is_url(span_of(url, URL_MAX)));
    assert_false(url_policy_is_url(span_of(url, URL_MAX + 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_urls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
