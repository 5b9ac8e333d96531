# ActiveRecord: SETs and the catalog's types on each connection, statements named a1, a2, …, BEGIN only before a statement.

require 'active_record'
require 'json'

$stdout.sync = true

def step(name, rows = nil, **seen)
  seen = { step: name, **seen }
  seen[:rows] = rows.map { |row| row.is_a?(ActiveRecord::Base) ? row.attributes.values.map { |v| v.nil? ? nil : v.to_s } : row } if rows
  puts JSON.generate(seen)
  $stdin.gets
end

def fails(name)
  yield
  step(name, error: 'none')
rescue ActiveRecord::StatementInvalid => error
  step(name, sqlstate: error.cause.result.error_field(PG::Result::PG_DIAG_SQLSTATE), message: error.message)
end

CONFIG = { adapter: 'postgresql', host: ENV['PGHOST'], port: ENV['PGPORT'].to_i, username: ENV['PGUSER'], database: ENV['PGDATABASE'], pool: 1 }

class Item < ActiveRecord::Base; end
class Scratch < ActiveRecord::Base
  self.table_name = 'scratch'
end

def scratches
  Scratch.order(:id).to_a
end

ActiveRecord::Base.establish_connection(CONFIG.merge(prepared_statements: false))
Item.first
step('connect', version: "ActiveRecord #{ActiveRecord.version}, ruby-pg #{PG::VERSION}")
step('plain point', [Item.find(3)])
step('plain many', Item.where('id > ?', 5).order(:id).to_a)
step('plain nulls', [Item.find(11)])
step('plain text', Item.where(name: "it's \\ 2").to_a)
ActiveRecord::Base.connection_pool.disconnect!

ActiveRecord::Base.establish_connection(CONFIG)
Item.reset_column_information
[Item, Scratch].each(&:first)
step('connect prepared')
(1..7).each { |n| step("prepared #{n}", [Item.find(n)]) }
step('prepared many', Item.where('id > ?', 5).order(:id).to_a)
step('prepared exists', [[Item.exists?(1), Item.where(ok: true).count]])
Item.transaction do
  step('transaction point', [Item.find(3)])
  step('transaction many', Item.where('id > ?', 5).order(:id).to_a)
  Item.transaction(requires_new: true) { step('transaction nested', [Item.find(4)]) }
end
step('commit')
Scratch.create!(id: 1, name: 'one')
step('write insert')
step('write read', scratches)
step('write again', scratches)
Scratch.find(1).update!(name: 'other')
step('write update', scratches)
fails('error division') { Item.connection.select_value('SELECT 1 / (id - id) FROM items') }
Item.transaction do
  fails('error unique') { Scratch.create!(id: 1, name: 'again') }
  fails('failed transaction') { Item.find(3) }
  raise ActiveRecord::Rollback
end
step('failed rollback', [Item.find(3)])
Scratch.transaction do
  Scratch.create!(id: 2, name: 'two')
  fails('savepoint error') { Scratch.transaction(requires_new: true) { Scratch.create!(id: 1, name: 'again') } }
end
step('savepoint read', scratches)
step('clean', count: Scratch.delete_all)
ActiveRecord::Base.connection_pool.disconnect!
step('close')
