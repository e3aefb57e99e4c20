//! `/api/leaderboard`.

use axum::extract::State;
use russet::Ranked;
use russet_axum::ApiError;
use russet_axum::extract::{Json, Path, Query};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::{IntoParams, ToSchema};

use super::names::check_shown;
use super::openapi::{ErrorBody, RefusedBody};
use crate::AppState;

/// A score; whole ones are written without a decimal point.
#[derive(Debug, Clone, Copy, PartialEq, ToSchema)]
#[schema(value_type = f64)]
pub struct Score(pub f64);

impl Score {
    /// The score as a whole number, when it is one that every reader of JSON can hold.
    #[must_use]
    pub fn whole(self) -> Option<i64> {
        (self.0.fract() == 0.0 && self.0.abs() < 9_007_199_254_740_992.0).then_some(self.0 as i64)
    }
}

impl Serialize for Score {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.whole() {
            Some(whole) => serializer.serialize_i64(whole),
            None => serializer.serialize_f64(self.0),
        }
    }
}

impl std::fmt::Display for Score {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.whole() {
            Some(whole) => write!(f, "{whole}"),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A line of the leaderboard.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Line {
    /// 1 for the best.
    pub rank: u64,
    /// The player's name.
    pub player: String,
    /// The player's score.
    pub score: Score,
}

impl From<Ranked> for Line {
    fn from(ranked: Ranked) -> Self {
        Self { rank: ranked.rank, player: ranked.member, score: Score(ranked.score) }
    }
}

/// How much of the leaderboard.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Top {
    /// How many players at most. Default 10.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<usize>,
}

/// How many neighbours.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Neighbours {
    /// How many players above and below at most. Default 2.
    #[param(minimum = 0, maximum = 50)]
    around: Option<usize>,
}

/// Points for a player.
#[derive(Debug, Deserialize, ToSchema)]
pub struct Points {
    /// 1 to 256 bytes, without control characters.
    #[schema(required = true, value_type = String, example = "player1")]
    player: Option<String>,
    /// What is added to the player's score; may be negative. Default 0.
    #[serde(default)]
    #[schema(example = 100)]
    score: f64,
}

/// A player's score after a change.
#[derive(Debug, Serialize, ToSchema)]
pub struct Updated {
    player: String,
    new_score: Score,
    /// `null`: the board is full and the score too low for it.
    rank: Option<u64>,
}

/// Where a player stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct Standing {
    player: String,
    rank: u64,
    score: Score,
    /// The players above and below, this one included.
    around: Vec<Line>,
}

/// The best players.
#[utoipa::path(get, path = "/api/leaderboard", tag = "statistics", params(Top), responses(
    (status = 200, description = "The players, the best first", body = [Line]),
    (status = 400, description = "A parameter out of range", body = ErrorBody),
    (status = 503, description = "Redis is away", body = ErrorBody),
))]
pub async fn top(
    State(app): State<AppState>,
    Query(top): Query<Top>,
) -> Result<Json<Vec<Line>>, ApiError> {
    let limit = top.limit.unwrap_or(10);
    if !(1..=100).contains(&limit) {
        return Err(ApiError::bad_request("limit must be 1 to 100"));
    }
    let ranked = app.board.top(limit).await?;
    Ok(Json(ranked.into_iter().map(Line::from).collect()))
}

/// Adds points to a player's score.
#[utoipa::path(post, path = "/api/leaderboard/update", tag = "statistics", request_body = Points, responses(
    (status = 200, description = "The new score and rank", body = Updated),
    (status = 400, description = "The player is missing or a field is wrong", body = ErrorBody),
    (status = 503, description = "Redis is away; the text says whether the points may have been added", body = ErrorBody),
    RefusedBody,
))]
pub async fn update(
    State(app): State<AppState>,
    Json(points): Json<Points>,
) -> Result<Json<Updated>, ApiError> {
    let player = points.player.unwrap_or_default();
    check_player(&player)?;
    let standing = app.board.increment(&player, points.score).await?;
    Ok(Json(Updated { player, new_score: Score(standing.score), rank: standing.rank }))
}

/// Where a player stands, and who is near.
#[utoipa::path(get, path = "/api/leaderboard/{player}", tag = "statistics",
    params(("player" = String, Path, description = "The player's name", example = "player1"), Neighbours), responses(
    (status = 200, description = "Rank, score and neighbours", body = Standing),
    (status = 400, description = "Not a name, or a parameter out of range", body = ErrorBody),
    (status = 404, description = "No such player", body = ErrorBody),
    (status = 503, description = "Redis is away", body = ErrorBody),
))]
pub async fn standing(
    State(app): State<AppState>,
    Path(player): Path<String>,
    Query(neighbours): Query<Neighbours>,
) -> Result<Json<Standing>, ApiError> {
    check_player(&player)?;
    let around = neighbours.around.unwrap_or(2);
    if around > 50 {
        return Err(ApiError::bad_request("around must be 0 to 50"));
    }
    let around: Vec<Line> =
        app.board.around(&player, around).await?.into_iter().map(Line::from).collect();
    let own = around.iter().find(|line| line.player == player);
    let (rank, score) = own
        .map(|line| (line.rank, line.score))
        .ok_or_else(|| ApiError::not_found("there is no player with this name"))?;
    Ok(Json(Standing { player, rank, score, around }))
}

/// Where the player called "update" stands.
#[utoipa::path(get, path = "/api/leaderboard/update", tag = "statistics", params(Neighbours), responses(
    (status = 200, description = "As for every other player", body = Standing),
    (status = 400, description = "A parameter out of range", body = ErrorBody),
    (status = 404, description = "No such player", body = ErrorBody),
    (status = 503, description = "Redis is away", body = ErrorBody),
))]
pub async fn standing_of_update(
    state: State<AppState>,
    neighbours: Query<Neighbours>,
) -> Result<Json<Standing>, ApiError> {
    standing(state, Path("update".to_owned()), neighbours).await
}

fn check_player(player: &str) -> Result<(), ApiError> {
    check_shown("player", player)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn whole_scores_have_no_decimal_point() {
        for (score, text) in
            [(100.0, "100"), (-3.0, "-3"), (0.5, "0.5"), (-0.0, "0"), (1e300, "1e+300")]
        {
            assert_eq!(serde_json::to_string(&Score(score)).unwrap(), text);
        }
        assert_eq!(Score(9_007_199_254_740_992.0).whole(), None);
    }
}
