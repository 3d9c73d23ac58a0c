// Reads and writes all four tables of unit 5 with modbus-serial. Usage: node node_client.js TCP_PORT; prints JSON.
const ModbusRTU = require("modbus-serial");

async function main(port) {
  const client = new ModbusRTU();
  await client.connectTCP("127.0.0.1", { port });
  client.setID(5);
  client.setTimeout(5000);
  const bits = (got, count) => got.data.slice(0, count).map(Number);
  const found = [
    bits(await client.readCoils(0, 8), 8),
    bits(await client.readDiscreteInputs(0, 8), 8),
    (await client.readHoldingRegisters(3, 2)).data,
    (await client.readInputRegisters(3, 2)).data,
  ];
  await client.writeCoil(2, false);
  await client.writeRegister(7, 3000);
  await client.writeCoils(4, [true, false, true, false]);
  await client.writeRegisters(9, [2730, 3003]);
  found.push(bits(await client.readCoils(0, 8), 8));
  found.push((await client.readHoldingRegisters(7, 4)).data);
  found.push(await client.readHoldingRegisters(65535, 1).then(() => 0, (error) => error.modbusCode));
  console.log(JSON.stringify(found));
  client.close(() => process.exit(0));
}

main(Number(process.argv[2])).catch((error) => { console.error(error); process.exit(1); });
