use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a page of another origin has made a browser send this. Browsers send at least one of the two headers with what is not
/// a plain link; programs send neither.
pub(super) fn is_cross_site(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get(FETCH_SITE) {
        return site != "same-origin" && site != "none";
    }
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    let host = headers.get(header::HOST).and_then(text);
    headers.get(header::ORIGIN).is_some_and(|origin| {
        let origin = text(origin).unwrap_or_default();
        let of = origin.split_once("://").map(|(_, host)| host.to_owned());
        of.is_none() || of != host
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_cross(pairs: &[(&'static str, &'static str)]) -> bool {
        let read = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        is_cross_site(&pairs.iter().map(read).collect())
    }

    #[test]
    fn what_another_site_sends_is_known_by_either_header() {
        for site in ["cross-site", "same-site", "nonsense", ""] {
            assert!(is_cross(&[("sec-fetch-site", site)]), "{site}");
        }
        for origin in ["https://evil.example", "null", "", "https://shop.example:8443"] {
            assert!(is_cross(&[("origin", origin), ("host", "shop.example")]), "{origin}");
        }
        assert!(is_cross(&[("origin", "https://shop.example")]), "without a host");
    }

    #[test]
    fn own_pages_and_programs_are_not_cross_site() {
        assert!(!is_cross(&[]));
        for site in ["same-origin", "none"] {
            assert!(!is_cross(&[("sec-fetch-site", site)]), "{site}");
        }
        assert!(!is_cross(&[("origin", "https://shop.example"), ("host", "shop.example")]));
    }
}
