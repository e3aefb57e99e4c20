//! The table `accounts`: who may sign in.

use super::{Database, DbError, now, on_store};

/// An account as it is kept. Its password is a hash.
#[derive(Clone, PartialEq)]
pub struct AccountRow {
    /// Its name.
    pub name: String,
    /// The password as argon2id has hashed it, in the PHC format.
    pub password: String,
    /// What its owner may do, with spaces between the roles.
    pub roles: String,
    /// When it was made, in seconds since 1970 UTC.
    pub created_at: f64,
}

const COLUMNS: &str = "SELECT name, password, roles, created_at FROM accounts";

type Row = (String, String, String, f64);

impl Database {
    /// The account of this name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_account(&self, name: &str) -> Result<Option<AccountRow>, DbError> {
        let find = sqlx::AssertSqlSafe([COLUMNS, " WHERE name = ?"].concat());
        let row: Option<Row> = on_store!(&self.store, pool => {
            sqlx::query_as(find).bind(name).fetch_optional(pool).await?
        });
        Ok(row.map(AccountRow::from))
    }

    /// All accounts, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_accounts(&self) -> Result<Vec<AccountRow>, DbError> {
        let list = sqlx::AssertSqlSafe([COLUMNS, " ORDER BY name"].concat());
        let rows: Vec<Row> =
            on_store!(&self.store, pool => { sqlx::query_as(list).fetch_all(pool).await? });
        Ok(rows.into_iter().map(AccountRow::from).collect())
    }

    /// How many there are.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_accounts(&self) -> Result<i64, DbError> {
        let (count,): (i64,) = on_store!(&self.store, pool => {
            sqlx::query_as("SELECT count(*) FROM accounts").fetch_one(pool).await?
        });
        Ok(count)
    }

    /// Makes an account, now. Answers whether the name was free.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_account(
        &self,
        name: &str,
        password: &str,
        roles: &str,
    ) -> Result<bool, DbError> {
        let insert = "INSERT INTO accounts (name, password, roles, created_at) VALUES (?, ?, ?, ?)";
        let added = on_store!(&self.store, pool => {
            let query = sqlx::query(insert).bind(name).bind(password).bind(roles).bind(now());
            query.execute(pool).await.map(drop)
        });
        match added {
            Ok(()) => Ok(true),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives an account another password. Answers whether there is such an account.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_account_password(&self, name: &str, password: &str) -> Result<bool, DbError> {
        let update = "UPDATE accounts SET password = ? WHERE name = ?";
        let rows = on_store!(&self.store, pool => {
            sqlx::query(update).bind(password).bind(name).execute(pool).await?.rows_affected()
        });
        Ok(rows > 0)
    }

    /// Removes an account. Answers whether there was one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_account(&self, name: &str) -> Result<bool, DbError> {
        let delete = "DELETE FROM accounts WHERE name = ?";
        let rows = on_store!(&self.store, pool => {
            sqlx::query(delete).bind(name).execute(pool).await?.rows_affected()
        });
        Ok(rows > 0)
    }
}

impl From<Row> for AccountRow {
    fn from((name, password, roles, created_at): Row) -> Self {
        Self { name, password, roles, created_at }
    }
}

/// Without the password's hash.
impl std::fmt::Debug for AccountRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccountRow")
            .field("name", &self.name)
            .field("roles", &self.roles)
            .finish_non_exhaustive()
    }
}
