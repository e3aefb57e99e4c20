-- What the scripts of a shop share: its keys, in the order in which src/inventory/scripts.rs gives them, and what is due.
-- A reservation: "V1 <state> <quantity> <end, ms> <product> <user or -> <its limit's period, ms, or 0>"; of a product:
-- "V1 <total> <reserved> <sold>". Units that are neither reserved nor sold are free: nothing else counts them.
local stock, holds, due, ended, users, products = unpack(KEYS, 1, 6)
local now = now_ms()
-- What the script will write; products and users by name as it has read and changed them.
local counts, owners, changed, lines, gone, kept = {}, {}, {}, {}, {}, {}
local function read_hold(line)
  local state, quantity, ms, product, user, period =
    string.match(line or '', '^V1%S* (%a+) (%d+) (%d+) (%S+) (%S+) (%d+)')
  return state and {state = state, quantity = tonumber(quantity), ms = tonumber(ms), product = product, user = user,
    period = tonumber(period)}
end
local function line_of(hold)
  return string.format('V1 %s %d %d %s %s %d', hold.state, hold.quantity, hold.ms, hold.product, hold.user, hold.period)
end
local function read_count(line)
  local total, reserved, sold = string.match(line or '', '^V1%S* (%d+) (%d+) (%d+)')
  return total and {total = tonumber(total), reserved = tonumber(reserved), sold = tonumber(sold)} or false
end
local function count_of(product)
  if counts[product] == nil then counts[product] = read_count(redis.call('HGET', stock, product)) end
  return counts[product]
end
local function free_of(count)
  return count and count.total - count.reserved - count.sold or 0
end
-- What a user has of a product, of reservations made under a limit: "<held> <sold>".
local function owner_of(product, user)
  local name = product .. ' ' .. user
  if not owners[name] then
    local held, sold = string.match(redis.call('HGET', users, name) or '0 0', '^(%d+) (%d+)')
    owners[name] = {held = tonumber(held), sold = tonumber(sold)}
  end
  return owners[name]
end
-- Ends a reservation: what it holds is free again, unless it is sold.
local function settle(id, hold, state, keep)
  local count = count_of(hold.product)
  local sold = state == 'sold' and hold.quantity or 0
  if count then
    count.reserved = count.reserved - hold.quantity
    count.sold = count.sold + sold
    changed[hold.product] = count
  end
  if hold.period > 0 then
    local owner = owner_of(hold.product, hold.user)
    owner.held = owner.held - hold.quantity
    owner.sold = owner.sold + sold
    if sold > 0 then
      kept[#kept + 1] = now + hold.period
      kept[#kept + 1] = 'bought ' .. hold.product .. ' ' .. hold.user
    end
  end
  hold.state = state
  lines[#lines + 1] = id
  lines[#lines + 1] = line_of(hold)
  gone[#gone + 1] = id
  kept[#kept + 1] = now + keep
  kept[#kept + 1] = id
end
-- Ends the reservations whose time has passed, so many at most, the oldest first. How many, and whether more may be due:
-- a refusal would be wrong then.
local function expire(most, keep)
  local ids = redis.call('ZRANGE', due, '-inf', now, 'BYSCORE', 'LIMIT', 0, most)
  if #ids == 0 then return 0, false end
  for i, line in ipairs(redis.call('HMGET', holds, unpack(ids))) do
    local hold = read_hold(line)
    if hold and hold.state == 'held' then settle(ids[i], hold, 'expired', keep) end
    if not line then gone[#gone + 1] = ids[i] end
  end
  return #ids, #ids == most
end
