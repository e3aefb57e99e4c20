//! Which language and which theme a visitor gets.

use axum::http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;

use super::messages::{ENGLISH, Messages, SIMPLIFIED_CHINESE};

/// A language of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    En,
    /// 中文.
    Zh,
}

/// Light, dark, or as the system has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Theme {
    /// As the system has it.
    Auto,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

/// How a visitor's pages look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preferences {
    /// The language.
    pub language: Language,
    /// The theme.
    pub theme: Theme,
}

/// What a link asks for: `?lang=zh`, `?theme=dark`.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Choice {
    lang: Option<Language>,
    theme: Option<Theme>,
}

impl Preferences {
    /// From the cookies, else from `Accept-Language`, else English and the system's theme.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let language = cookie(headers, "lang").and_then(Language::from_code);
        let accepted = || {
            headers.get(header::ACCEPT_LANGUAGE).and_then(|value| accepted(value.to_str().ok()?))
        };
        Self {
            language: language.or_else(accepted).unwrap_or(Language::En),
            theme: match cookie(headers, "theme") {
                Some("light") => Theme::Light,
                Some("dark") => Theme::Dark,
                _ => Theme::Auto,
            },
        }
    }

    /// The catalogue in the language.
    #[must_use]
    pub fn messages(self) -> &'static Messages {
        match self.language {
            Language::En => &ENGLISH,
            Language::Zh => &SIMPLIFIED_CHINESE,
        }
    }

    /// As the `lang` attribute has it.
    #[must_use]
    pub fn language_code(self) -> &'static str {
        match self.language {
            Language::En => "en",
            Language::Zh => "zh-CN",
        }
    }

    /// As the `data-theme` attribute has it.
    #[must_use]
    pub fn theme_code(self) -> &'static str {
        self.theme.code()
    }
}

impl Choice {
    /// The cookies that remember the choice for a year.
    pub fn cookies(self) -> impl Iterator<Item = HeaderValue> {
        let lang = self.lang.map(|language| format!("lang={}", language.code()));
        let theme = self.theme.map(|theme| format!("theme={}", theme.code()));
        [lang, theme].into_iter().flatten().filter_map(|pair| {
            format!("{pair}; Path=/; Max-Age=31536000; SameSite=Lax").try_into().ok()
        })
    }
}

impl Language {
    fn from_code(code: &str) -> Option<Self> {
        match code.split('-').next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "en" => Some(Self::En),
            "zh" => Some(Self::Zh),
            _ => None,
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }
}

impl Theme {
    fn code(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// The language of the catalogue that the header ranks highest; the first of equals.
fn accepted(header: &str) -> Option<Language> {
    let mut best: Option<(f32, Language)> = None;
    for entry in header.split(',') {
        let (code, quality) = entry.split_once(";q=").unwrap_or((entry, "1"));
        let quality: f32 = quality.trim().parse().unwrap_or(0.0);
        if let Some(language) = Language::from_code(code.trim())
            && quality > best.map_or(0.0, |(quality, _)| quality)
        {
            best = Some((quality, language));
        }
    }
    best.map(|(_, language)| language)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn preferences(pairs: &[(header::HeaderName, &'static str)]) -> Preferences {
        let headers =
            pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        Preferences::of(&headers.collect())
    }

    #[test]
    fn the_browser_decides_until_the_visitor_does() {
        let accept = (header::ACCEPT_LANGUAGE, "de, zh-CN;q=0.9, en;q=0.5");
        assert_eq!(preferences(std::slice::from_ref(&accept)).language, Language::Zh);
        let chosen = (header::COOKIE, "x=1; lang=en; theme=dark");
        let both = preferences(&[accept, chosen]);
        assert_eq!(both, Preferences { language: Language::En, theme: Theme::Dark });
    }

    #[test]
    fn without_a_word_it_is_english_and_the_systems_theme() {
        let plain = Preferences { language: Language::En, theme: Theme::Auto };
        assert_eq!(preferences(&[]), plain);
        assert_eq!(preferences(&[(header::ACCEPT_LANGUAGE, "fr;q=nonsense, *")]), plain);
        assert_eq!(preferences(&[(header::COOKIE, "lang=<script>; theme=")]), plain);
    }

    #[test]
    fn a_choice_becomes_cookies() {
        let choice = Choice { lang: Some(Language::Zh), theme: None };
        let cookies: Vec<_> = choice.cookies().collect();
        assert_eq!(cookies, ["lang=zh; Path=/; Max-Age=31536000; SameSite=Lax"]);
    }
}
