<?php

namespace IntegrationBus;

use Bitrix\Main\Type\Date;
use Bitrix\Sale\Order;

/**
 * An order as sale.order.get answers it, in the parts that the bus reads.
 */
final class OrderTold
{
    public static function of(Order $order): array
    {
        return [
            'id' => (int)$order->getId(),
            'accountNumber' => (string)$order->getField('ACCOUNT_NUMBER'),
            'personTypeId' => (int)$order->getPersonTypeId(),
            'statusId' => (string)$order->getField('STATUS_ID'),
            'payed' => $order->isPaid() ? 'Y' : 'N',
            'canceled' => $order->isCanceled() ? 'Y' : 'N',
            'price' => (float)$order->getPrice(),
            'currency' => (string)$order->getCurrency(),
            'comments' => $order->getField('COMMENTS'),
            'empStatusId' => $order->getField('EMP_STATUS_ID'),
            'dateUpdate' => self::moment($order->getField('DATE_UPDATE') ?: $order->getField('DATE_INSERT')),
            'version' => (int)$order->getField('VERSION'),
            'xmlId' => $order->getField('XML_ID'),
            'basketItems' => self::basket($order),
            'propertyValues' => self::properties($order),
            'shipments' => self::shipments($order),
            'payments' => self::payments($order),
        ];
    }

    private static function basket(Order $order): array
    {
        $told = [];
        foreach ($order->getBasket() ?: [] as $item) {
            $told[] = [
                'id' => (int)$item->getId(),
                'productId' => $item->getField('PRODUCT_ID'),
                'productXmlId' => $item->getField('PRODUCT_XML_ID'),
                'name' => (string)$item->getField('NAME'),
                'quantity' => (float)$item->getQuantity(),
                'price' => (float)$item->getPrice(),
                'currency' => (string)$item->getField('CURRENCY'),
            ];
        }
        return $told;
    }

    private static function properties(Order $order): array
    {
        $told = [];
        foreach ($order->getPropertyCollection() as $property) {
            $told[] = [
                'orderPropsId' => $property->getField('ORDER_PROPS_ID'),
                'code' => $property->getField('CODE'),
                'value' => $property->getValue(),
            ];
        }
        return $told;
    }

    private static function shipments(Order $order): array
    {
        $told = [];
        foreach ($order->getShipmentCollection() as $shipment) {
            $told[] = [
                'id' => (int)$shipment->getId(),
                'system' => $shipment->isSystem() ? 'Y' : 'N',
                'deliveryName' => $shipment->getField('DELIVERY_NAME'),
            ];
        }
        return $told;
    }

    private static function payments(Order $order): array
    {
        $told = [];
        foreach ($order->getPaymentCollection() as $payment) {
            $told[] = [
                'id' => (int)$payment->getId(),
                'paid' => $payment->isPaid() ? 'Y' : 'N',
                'isReturn' => (string)$payment->getField('IS_RETURN'),
                'sum' => (float)$payment->getSum(),
                'currency' => (string)$payment->getField('CURRENCY'),
                'datePaid' => self::moment($payment->getField('DATE_PAID')),
                'dateBill' => self::moment($payment->getField('DATE_BILL')),
                'payReturnDate' => self::moment($payment->getField('PAY_RETURN_DATE')),
                'payVoucherNum' => $payment->getField('PAY_VOUCHER_NUM'),
                'paySystemId' => (int)$payment->getPaymentSystemId(),
                'paySystemName' => $payment->getField('PAY_SYSTEM_NAME'),
                'empPaidId' => $payment->getField('EMP_PAID_ID'),
                'xmlId' => $payment->getField('XML_ID'),
            ];
        }
        return $told;
    }

    /** In UTC: a server's or a user's time zone must not change what an order says. */
    private static function moment($date): ?string
    {
        return $date instanceof Date ? gmdate('Y-m-d\TH:i:s\Z', $date->getTimestamp()) : null;
    }
}
